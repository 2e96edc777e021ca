import{b}from"./chunk-I7SCICHG.js";import"./chunk-EEO2DZJH.js";import{a}from"./chunk-XLNMXEEX.js";export{a as HttpError,b as WhipPublisher};
