import{b}from"./chunk-PC4MYSZF.js";import"./chunk-KOQIISQL.js";import{a}from"./chunk-JP2EVBVL.js";export{a as HttpError,b as WhipPublisher};
