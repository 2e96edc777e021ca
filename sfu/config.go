package sfu

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config sets an SFU up. The zero value of each field means its default.
type Config struct {
	MediaAddr string       // UDP host:port of all media, and TCP when TCP is set; default ":8189"
	TCP       bool         // ICE-TCP on the same port number
	PublicIPs []netip.Addr // advertised in place of the interfaces' addresses (1:1 NAT)
	Loopback  bool         // advertise loopback addresses too
	ICELite   bool

	HandshakeTimeout time.Duration // from the offer to a connected session; default 10 s
	MaxPending       int           // sessions that are not connected yet; default 3000
	MaxPendingPerIP  int           // of these from one address; default 1500
	MaxAddresses     int           // that a peer may have at once; default 256
	MaxViewers       int           // of one stream; default 0: no limit
	RingPackets      int           // packets remembered of each layer; default 2048

	Grace    time.Duration // how long a stream waits for its publisher's return; default 30 s
	Wait     bool          // watching a stream that nobody publishes waits instead of failing
	Takeover bool          // a new publisher replaces a live one

	FlexFEC bool // repair packets for video, from publishers and to viewers that offer them

	// What viewers are asked to wait before they show a picture, where their
	// publisher does not say; off while PlayoutDelayMax is 0.
	PlayoutDelayMin, PlayoutDelayMax time.Duration
}

func (c Config) withDefaults() Config {
	if c.MediaAddr == "" {
		c.MediaAddr = ":8189"
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 3000
	}
	if c.MaxPendingPerIP == 0 {
		c.MaxPendingPerIP = 1500
	}
	if c.MaxAddresses == 0 {
		c.MaxAddresses = 256
	}
	if c.RingPackets == 0 {
		c.RingPackets = 2048
	}
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	return c
}

// Validate reports what is out of range.
func (c Config) Validate() error {
	var errs []error
	negative := func(name string, n int64) {
		if n < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", name))
		}
	}
	negative("HandshakeTimeout", int64(c.HandshakeTimeout))
	negative("MaxPending", int64(c.MaxPending))
	negative("MaxPendingPerIP", int64(c.MaxPendingPerIP))
	negative("MaxAddresses", int64(c.MaxAddresses))
	negative("MaxViewers", int64(c.MaxViewers))
	negative("RingPackets", int64(c.RingPackets))
	negative("Grace", int64(c.Grace))
	negative("PlayoutDelayMin", int64(c.PlayoutDelayMin))
	if c.PlayoutDelayMin > c.PlayoutDelayMax || c.PlayoutDelayMax > MaxPlayoutDelay {
		errs = append(errs, fmt.Errorf("PlayoutDelayMin and PlayoutDelayMax are not in order and at most %v", MaxPlayoutDelay))
	}
	return errors.Join(errs...)
}
