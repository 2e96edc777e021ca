import{a as b}from"./chunk-Q4SVT3UN.js";import"./chunk-3R3ZBGNN.js";import"./chunk-RARRDXVT.js";import{a}from"./chunk-SDHKMOJM.js";export{a as HttpError,b as WhepPlayer};
