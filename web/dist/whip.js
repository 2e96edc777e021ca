import{b}from"./chunk-QDJU5GLE.js";import"./chunk-H7HHPRLZ.js";import{a}from"./chunk-HCAIACTL.js";export{a as HttpError,b as WhipPublisher};
