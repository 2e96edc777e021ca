import{a as b}from"./chunk-GKNWFIJ3.js";import"./chunk-3R3ZBGNN.js";import"./chunk-H7HHPRLZ.js";import{a}from"./chunk-HCAIACTL.js";export{a as HttpError,b as WhepPlayer};
