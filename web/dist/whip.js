import{b}from"./chunk-NGQNUAO3.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-5WN66AV7.js";export{a as HttpError,b as WhipPublisher};
