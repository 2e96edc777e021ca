import{b}from"./chunk-BVODOQG3.js";import"./chunk-RARRDXVT.js";import{a}from"./chunk-SDHKMOJM.js";export{a as HttpError,b as WhipPublisher};
