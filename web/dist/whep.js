import{a as b}from"./chunk-STTQVPUD.js";import"./chunk-YKYHX6PP.js";import"./chunk-H7HHPRLZ.js";import{a}from"./chunk-HCAIACTL.js";export{a as HttpError,b as WhepPlayer};
