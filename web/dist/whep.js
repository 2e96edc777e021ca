import{a as b}from"./chunk-EXIBYURN.js";import"./chunk-YKYHX6PP.js";import"./chunk-KOQIISQL.js";import{a}from"./chunk-JP2EVBVL.js";export{a as HttpError,b as WhepPlayer};
