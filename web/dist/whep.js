import{a as b}from"./chunk-L5TA4IBH.js";import"./chunk-7WCIFTMM.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhepPlayer};
