package egress

import "net/netip"

const (
	// arenaBytes holds the datagrams of a batch. It is small so that it stays in
	// the processor's cache from encryption to the kernel's copy.
	arenaBytes = 160 << 10
	// maxDatagram is the most that Space gives, in bytes.
	maxDatagram = 2048
	// maxMessages is how many runs of datagrams go out in one system call.
	maxMessages = 64
	// maxSegments and maxRunBytes bound a run: the kernel's limits.
	maxSegments = 64
	maxRunBytes = 65000
)

// Batch gathers datagrams. Those for one destination that follow each other
// and have the same size, but for a shorter last one, become one message.
type Batch struct {
	socket *Socket
	arena  []byte
	used   int
	runs   []run
	kernel kernel

	// Failed counts datagrams that could not be sent.
	Failed uint64
}

// run is one message to the kernel: count datagrams of size bytes, the last of
// which may be shorter.
type run struct {
	dst          netip.AddrPort
	start, bytes int
	size, count  int
	closed       bool // a shorter one ended it
}

// NewBatch makes an empty batch.
func NewBatch(s *Socket) *Batch {
	b := &Batch{socket: s, arena: make([]byte, arenaBytes), runs: make([]run, 0, maxMessages)}
	b.kernel.init()
	return b
}

// Space returns room for one datagram of up to maxDatagram bytes. Its content
// is sent after Add.
func (b *Batch) Space() []byte {
	if len(b.arena)-b.used < maxDatagram {
		b.Flush()
	}
	return b.arena[b.used : b.used+maxDatagram : b.used+maxDatagram]
}

// Add takes the first n bytes of the last Space as a datagram for dst.
func (b *Batch) Add(dst netip.AddrPort, n int) {
	if last := len(b.runs) - 1; last >= 0 && b.socket.offload() {
		if r := &b.runs[last]; r.dst == dst && !r.closed && n <= r.size && r.count < maxSegments && r.bytes+n <= maxRunBytes {
			r.bytes += n
			r.count++
			r.closed = n < r.size
			b.used += n
			return
		}
	}
	if len(b.runs) == maxMessages {
		// The datagram lies behind what is flushed: it stays where it is.
		at := b.used
		b.send()
		b.used = at
	}
	b.runs = append(b.runs, run{dst: dst, start: b.used, bytes: n, size: n, count: 1})
	b.used += n
}

// Flush sends what was added.
func (b *Batch) Flush() {
	b.send()
	b.used = 0
}

func (b *Batch) send() {
	if len(b.runs) > 0 {
		b.kernel.send(b)
		b.runs = b.runs[:0]
	}
}
