import{b}from"./chunk-LBXZ4MZ7.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhipPublisher};
