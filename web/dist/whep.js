import{a as b}from"./chunk-RA3CDVQP.js";import"./chunk-7WCIFTMM.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-5WN66AV7.js";export{a as HttpError,b as WhepPlayer};
