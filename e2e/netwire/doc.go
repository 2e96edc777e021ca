// Package netwire makes bad networks for tests: a second network namespace that
// is reached over a wire with delay, jitter, loss, a rate and a queue limit, on
// kernels with and without netem.
//
// A Wire owns one TUN device in the namespace of the test and one in a
// namespace that it makes, and carries every packet between them by a user-space
// model of a link. It needs root, /dev/net/tun and the ip command of iproute2.
// It knows nothing of media. The one who opened a Wire closes it, which ends its
// goroutines and takes the namespace away; the devices also vanish with the
// process.
package netwire
