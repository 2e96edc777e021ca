// Package overload says how far a node goes to carry what it has: from facts to a
// sluice.Step, gradually, reversibly and with hysteresis.
//
// It is a value without goroutines, clocks or locks: internal/node feeds a State
// once a second and does what the step asks. It must not know what is measured,
// nor what a step does.
package overload
