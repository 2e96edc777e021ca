import{b}from"./chunk-QXGBM7A5.js";import"./chunk-RARRDXVT.js";import{a}from"./chunk-SDHKMOJM.js";export{a as HttpError,b as WhipPublisher};
