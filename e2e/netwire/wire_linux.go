package netwire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// prefix of namespaces; the number of the process follows.
	prefix = "wire-"
	// subnets is the range for benchmarks (RFC 2544), in networks of four
	// addresses.
	subnets = 1 << 15
	// wiresOfProcess is how many a process may have at once.
	wiresOfProcess = 16
	// commandTimeout bounds one call of ip.
	commandTimeout = 10 * time.Second
)

// Wire joins the namespace of the process, the near end, with a namespace of its
// own, the far end.
type Wire struct {
	Namespace string     // of the far end, for ip netns exec
	Near, Far netip.Addr // of the two ends

	devices []*os.File
	ways    [2]*direction // to the far end, and back
	stop    chan struct{}
	running sync.WaitGroup
}

// Open makes a namespace and the wire to it. It also takes away what processes
// left that were killed.
func Open(set Settings) (*Wire, error) {
	if err := sweep(); err != nil {
		return nil, err
	}
	var err error
	for n := range wiresOfProcess {
		name := fmt.Sprintf("%d-%d", os.Getpid(), n)
		w := &Wire{Namespace: prefix + name, Near: address(n, 1), Far: address(n, 2), stop: make(chan struct{})}
		if err = ip("netns", "add", w.Namespace); err != nil {
			continue // another wire of this process has the name
		}
		if err = w.open("wire"+name, set); err != nil {
			return nil, errors.Join(err, w.Close())
		}
		return w, nil
	}
	return nil, err
}

// address is that of a host on the n-th wire of this process.
func address(n, host int) netip.Addr {
	low := (os.Getpid()*wiresOfProcess+n)%subnets*4 + host
	return netip.AddrFrom4([4]byte{198, byte(18 + low>>16), byte(low >> 8), byte(low)})
}

func (w *Wire) open(device string, set Settings) error {
	near, err := openTUN(device)
	if err != nil {
		return err
	}
	w.devices = append(w.devices, near)
	var far *os.File
	if err := In(w.Namespace, func() (err error) { far, err = openTUN(device); return err }); err != nil {
		return err
	}
	w.devices = append(w.devices, far)
	for _, args := range [][]string{
		{"address", "add", w.Near.String() + "/30", "dev", device},
		{"link", "set", device, "up"},
		{"-n", w.Namespace, "address", "add", w.Far.String() + "/30", "dev", device},
		{"-n", w.Namespace, "link", "set", device, "up"},
		{"-n", w.Namespace, "link", "set", "lo", "up"},
		{"-n", w.Namespace, "route", "add", "default", "via", w.Near.String()},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	for i, d := range []*direction{{from: near, to: far}, {from: far, to: near}} {
		d.wake, d.stop, d.settings = make(chan struct{}, 1), w.stop, set
		d.link.random = rand.New(rand.NewPCG(uint64(i), 1))
		w.ways[i] = d
		w.running.Go(d.take)
		w.running.Go(d.give)
	}
	return nil
}

// Set changes both directions while packets flow.
func (w *Wire) Set(set Settings) {
	for _, d := range w.ways {
		d.set(set)
	}
}

// Counters returns what was seen toward the far end and back.
func (w *Wire) Counters() (out, back Counters) {
	return w.ways[0].counters(), w.ways[1].counters()
}

// Close takes the wire and the namespace away. What runs in the namespace must
// have ended.
func (w *Wire) Close() error {
	close(w.stop)
	var errs []error
	for _, d := range w.devices {
		errs = append(errs, d.Close())
	}
	w.running.Wait()
	return errors.Join(append(errs, ip("netns", "delete", w.Namespace))...)
}

func ip(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
