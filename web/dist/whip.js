import{c as b}from"./chunk-EVS5OU7Y.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-5WN66AV7.js";export{a as HttpError,b as WhipPublisher};
