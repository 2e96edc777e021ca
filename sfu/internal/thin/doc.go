// Package thin decides which packets of a stream with spatial and temporal
// layers one viewer gets, so that a decoder can always go on with what is left:
// frames are left out whole, lower layers come back at once, higher ones only
// where nothing refers to what was left out.
//
// Everything is a pure value: no goroutine, no lock, no allocation. Who chooses
// the layers, and who renumbers what is left, is not its business.
package thin
