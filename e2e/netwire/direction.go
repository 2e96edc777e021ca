package netwire

import (
	"container/heap"
	"io"
	"slices"
	"sync"
	"time"
)

// maxPacket is the largest IP packet.
const maxPacket = 1 << 16

// direction carries packets one way.
type direction struct {
	from io.Reader
	to   io.Writer
	wake chan struct{}
	stop chan struct{}

	mu       sync.Mutex
	settings Settings
	link     link
	flying   flight
}

// packet is on its way.
type packet struct {
	at    time.Time
	order uint64
	bytes []byte
}

// flight is a heap of packets, the next to arrive first.
type flight []packet

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if f[i].at.Equal(f[j].at) {
		return f[i].order < f[j].order
	}
	return f[i].at.Before(f[j].at)
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(packet)) }
func (f *flight) Pop() any {
	old := *f
	p := old[len(old)-1]
	old[len(old)-1] = packet{}
	*f = old[:len(old)-1]
	return p
}

// set changes the settings of packets to come.
func (d *direction) set(s Settings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = s
}

func (d *direction) counters() Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.counts
}

// take reads packets until the device is closed.
func (d *direction) take() {
	buf := make([]byte, maxPacket)
	for {
		n, err := d.from.Read(buf)
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.settings.NoUDP && isUDP(buf[:n]) {
			d.link.counts.Packets++
			d.link.counts.Lost++
		} else if at, ok := d.link.admit(d.settings, n, time.Now()); ok {
			heap.Push(&d.flying, packet{at: at, order: d.link.counts.Packets, bytes: slices.Clone(buf[:n])})
		}
		d.mu.Unlock()
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// isUDP reads the protocol of an IPv4 packet.
func isUDP(ip []byte) bool {
	const protocol, udp = 9, 17
	return len(ip) > protocol && ip[0]>>4 == 4 && ip[protocol] == udp
}

// give writes packets when they are due, until stop is closed.
func (d *direction) give() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, wait := d.next(time.Now())
		if p.bytes != nil {
			_, _ = d.to.Write(p.bytes) // a packet that the kernel refuses is lost
			continue
		}
		timer.Reset(wait)
		select {
		case <-d.wake:
		case <-timer.C:
		case <-d.stop:
			return
		}
	}
}

// next returns a packet that is due, or how long to wait for one.
func (d *direction) next(now time.Time) (packet, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.flying) == 0 {
		return packet{}, time.Hour
	}
	if wait := d.flying[0].at.Sub(now); wait > 0 {
		return packet{}, wait
	}
	return heap.Pop(&d.flying).(packet), 0
}
