import{b}from"./chunk-VPUAKRE2.js";import"./chunk-H7HHPRLZ.js";import{a}from"./chunk-HCAIACTL.js";export{a as HttpError,b as WhipPublisher};
