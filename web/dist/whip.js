import{b}from"./chunk-Y6V67Q4J.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-5WN66AV7.js";export{a as HttpError,b as WhipPublisher};
