import{a as b}from"./chunk-2DCMJCZX.js";import"./chunk-YKYHX6PP.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhepPlayer};
