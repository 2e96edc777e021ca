package estimate

// historySize is how many packets are remembered: a second at 20 Mbit/s.
const historySize = 2048

// record is a sent packet, in eight bytes.
type record struct {
	at    uint32 // when it was sent: the low bits of the microseconds
	size  uint16
	lap   uint8 // the high bits of the sequence number
	marks uint8 // fate in the low bits, probe cluster in the high ones
}

const (
	markSent     = 1 << iota // the slot is in use
	markArrived              // the receiver has it
	markLost                 // reported as not received
	clusterShift = 3         // the rest of the marks: 0, or the cluster's number
)

const (
	lapShift    = 11 // historySize is 1<<lapShift
	maxClusters = 31
)

// history is a ring of the newest packets by sequence number.
type history struct {
	records [historySize]record
	newest  uint16
}

// put remembers a packet of 0 to maxSize bytes.
func (h *history) put(seq uint16, size int, now int64, cluster uint8) {
	h.records[seq%historySize] = record{
		at: uint32(now), size: uint16(size),
		lap: uint8(seq >> lapShift), marks: markSent | cluster<<clusterShift,
	}
	h.newest = seq
}

// find returns the packet, or nil when it was never sent or is forgotten.
func (h *history) find(seq uint16) *record {
	r := &h.records[seq%historySize]
	if r.marks&markSent == 0 || r.lap != uint8(seq>>lapShift) {
		return nil
	}
	return r
}

// clip narrows a run of sequence numbers to those that may be in the history.
func (h *history) clip(seq uint16, n int) (uint16, int) {
	if age := h.newest - seq; age >= historySize {
		skip := int(age) - historySize + 1
		if skip >= n {
			return seq, 0
		}
		seq, n = seq+uint16(skip), n-skip
	}
	return seq, min(n, int(h.newest-seq)+1)
}

// sentAt returns when the packet was sent, given a later time within half an
// hour.
func (r *record) sentAt(now int64) int64 { return now - int64(uint32(now)-r.at) }

func (r *record) cluster() uint8 { return r.marks >> clusterShift }
