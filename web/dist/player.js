<<<<<<< HEAD
import{j as a}from"./chunk-7K7WMQOT.js";import"./chunk-C2VYOYVQ.js";import"./chunk-RDVKXVVK.js";import"./chunk-SVWSUNLV.js";import"./chunk-6GW3RQRG.js";import"./chunk-YKYHX6PP.js";import"./chunk-H7HHPRLZ.js";import"./chunk-HCAIACTL.js";export{a as LivePlayer};
=======
import{j as a}from"./chunk-LP4AYLIB.js";import"./chunk-C2VYOYVQ.js";import"./chunk-RDVKXVVK.js";import"./chunk-SVWSUNLV.js";import"./chunk-6GW3RQRG.js";import"./chunk-YKYHX6PP.js";import"./chunk-H7HHPRLZ.js";import"./chunk-HCAIACTL.js";export{a as LivePlayer};
>>>>>>> e77f5de (web: tell pages of a server's overload)
