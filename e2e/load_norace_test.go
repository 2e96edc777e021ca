//go:build !race

package e2e

// slack stretches limits of time under the race detector.
const slack = 1
