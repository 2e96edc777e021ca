package load

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
)

// restartGap is a jump of sequence numbers that is taken for a new beginning
// rather than for loss.
const restartGap = 3000

// reception is what is known of one incoming RTP stream from its clear headers
// (RFC 3550 appendix A).
type reception struct {
	ssrc     uint32
	clock    int64 // Hz
	base     uint64
	highest  uint64 // extended sequence number
	received uint64
	earlier  uint64 // expected before a new beginning
	bytes    uint64

	transit int64 // of the last packet, in clock units
	jitter  int64 // in clock units, times 16

	report     uint32 // middle of the last sender report's NTP time
	reportAt   int64
	lastExpect uint64 // at the last receiver report
	lastGot    uint64
}

// take counts one packet.
func (r *reception) take(b []byte, size int, at int64) {
	seq := binary.BigEndian.Uint16(b[2:])
	ahead := int16(seq - uint16(r.highest))
	switch {
	case r.received == 0:
		r.base, r.highest = uint64(seq), uint64(seq)
	case ahead > restartGap || ahead < -restartGap:
		r.earlier = r.expected()
		r.base, r.highest = uint64(seq), uint64(seq)
	case ahead > 0:
		r.highest += uint64(ahead)
	}
	r.received++
	r.bytes += uint64(size)
	transit := at*r.clock/int64(time.Second) - int64(binary.BigEndian.Uint32(b[4:]))
	if r.received > 1 {
		d := int64(int32(transit - r.transit))
		r.jitter += max(d, -d) - (r.jitter+8)>>4
	}
	r.transit = transit
}

// expected is how many packets the sender has sent since the first that arrived.
func (r *reception) expected() uint64 {
	if r.received == 0 {
		return 0
	}
	return r.earlier + r.highest - r.base + 1
}

// lost is how many of them did not arrive. Duplicates hide as many losses.
func (r *reception) lost() uint64 {
	if e := r.expected(); e > r.received {
		return e - r.received
	}
	return 0
}

// receiverReport is what the next RTCP receiver report says.
func (r *reception) receiverReport(now int64) rtcp.ReceptionReport {
	expected, received := r.expected(), r.received
	fraction := 0
	if e, g := expected-r.lastExpect, received-r.lastGot; expected > r.lastExpect && e > g {
		fraction = int((e - g) * 256 / e)
	}
	r.lastExpect, r.lastGot = expected, received
	report := rtcp.ReceptionReport{
		SSRC: r.ssrc, FractionLost: uint8(min(fraction, 255)), TotalLost: uint32(min(r.lost(), 1<<23-1)),
		LastSequenceNumber: uint32(r.highest), Jitter: uint32(r.jitter >> 4),
	}
	if r.reportAt != 0 {
		report.LastSenderReport = r.report
		report.Delay = uint32((now - r.reportAt) * 65536 / int64(time.Second))
	}
	return report
}
