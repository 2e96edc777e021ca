import{a as b}from"./chunk-MG3NYRNO.js";import"./chunk-7OG7KLNY.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-5WN66AV7.js";export{a as HttpError,b as WhepPlayer};
