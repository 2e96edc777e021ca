import{a as b}from"./chunk-B6W65FGL.js";import"./chunk-YKYHX6PP.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhepPlayer};
