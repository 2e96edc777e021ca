import{a as b}from"./chunk-OLJPUVX3.js";import"./chunk-YKYHX6PP.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhepPlayer};
