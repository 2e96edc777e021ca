package sfu

import (
	"slices"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"
)

// reception is what a viewer's receiver reports say of its video.
type reception struct {
	loss     float64 // fraction lost since the report before
	jitterMS float64
	rtt      int64  // nanoseconds; 0 until measured
	answers  uint32 // the sender report that rtt is from: the middle of its NTP time
	highest  uint16 // sequence number received
}

// maxNACKPairs bounds what one RTCP packet may ask for: each pair names up to
// 17 packets.
const maxNACKPairs = 64

// incoming is a stream of packets: the RTP of a *webrtc.TrackRemote, the RTCP of a
// *webrtc.RTPSender, *webrtc.RTPReceiver or simulcastReports.
type incoming interface {
	Read(b []byte) (int, interceptor.Attributes, error)
}

// feedbackRate and feedbackBurst bound the RTCP packets that are taken from one
// track of a viewer; what is more is dropped. Browsers send some 30 a second.
const (
	feedbackRate  = 200
	feedbackBurst = 400
)

// readFeedback hands the RTCP of one of a viewer's tracks over until the session
// ends.
func (v *Viewer) readFeedback(sender incoming, take func(rtcp.Packet)) {
	buf := make([]byte, maxPacket)
	limit := rate.NewLimiter(feedbackRate, feedbackBurst)
	for {
		n, _, err := sender.Read(buf)
		if err != nil {
			return
		}
		if !limit.Allow() {
			v.sfu.counters.commandsDropped.Add(1)
			continue
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			take(p)
		}
	}
}

// readRepairFeedback reads transport-wide reports that come under the SSRC of
// retransmissions: receivers write the SSRC of whatever packet they saw last. A
// Pion sender does not read them, so a receiver that never gets RTP does, until
// leave stops it. mu is held.
func (v *Viewer) readRepairFeedback() {
	if v.video.rtxSSRC == 0 || v.video.twccID == 0 {
		return
	}
	receiver, err := v.api.NewRTPReceiver(webrtc.RTPCodecTypeVideo, v.sender.Transport())
	if err == nil {
		err = receiver.Receive(webrtc.RTPReceiveParameters{Encodings: []webrtc.RTPDecodingParameters{
			{RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(v.video.rtxSSRC)}},
		}})
	}
	if err != nil {
		v.log.Debug("reports about retransmissions will be missed", "err", err)
		return
	}
	v.repair = receiver
	v.readers.Go(func() { v.readFeedback(receiver, v.transport) })
}

// transport takes only what may come under the SSRC of any stream.
func (v *Viewer) transport(p rtcp.Packet) {
	if cc, ok := p.(*rtcp.TransportLayerCC); ok {
		v.shard.offer(command{kind: noteTransport, viewer: v, transport: cc})
	}
}

func (v *Viewer) feedback(p rtcp.Packet) {
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		if p.MediaSSRC == v.video.ssrc {
			v.shard.offer(command{kind: answerNACK, viewer: v, nacks: p.Nacks[:min(len(p.Nacks), maxNACKPairs)]})
		}
	case *rtcp.TransportLayerCC:
		v.transport(p)
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		if v.carries == nil {
			v.shard.offer(command{kind: noteREMB, viewer: v, remb: float64(p.Bitrate)})
		} else if slices.Contains(p.SSRCs, v.video.ssrc) {
			v.shard.offer(command{kind: restTrack, viewer: v, remb: float64(p.Bitrate)})
		}
	case *rtcp.PictureLossIndication:
		if p.MediaSSRC == v.video.ssrc {
			v.wantKeyframe()
		}
	case *rtcp.FullIntraRequest:
		for _, entry := range p.FIR {
			if entry.SSRC == v.video.ssrc {
				v.wantKeyframe()
				break
			}
		}
	case *rtcp.ExtendedReport:
		v.answerTime(p)
	case *rtcp.ReceiverReport:
		for _, r := range p.Reports {
			if r.SSRC == v.video.ssrc {
				v.shard.offer(command{kind: noteReception, viewer: v, reception: receptionOf(r, v.sfu.wall(v.sfu.now()))})
			}
		}
	}
}

// hearing takes the reports of a viewer that has no video.
func (v *Viewer) hearing(p rtcp.Packet) {
	rr, ok := p.(*rtcp.ReceiverReport)
	if !ok {
		return
	}
	for _, r := range rr.Reports {
		if r.SSRC == v.audio.ssrc {
			v.shard.offer(command{kind: noteReception, viewer: v, reception: receptionOf(r, v.sfu.wall(v.sfu.now()))})
		}
	}
}

func (v *Viewer) wantKeyframe() {
	v.sfu.counters.plisIn.Add(1)
	v.shard.offer(command{kind: wantKeyframe, viewer: v})
}

// answerTime lets a receiver that sends no media measure the round trip (RFC 3611
// section 4.5), which tells it when to ask again for a lost packet. Only one
// block is answered.
func (v *Viewer) answerTime(p *rtcp.ExtendedReport) {
	for _, block := range p.Reports {
		if b, ok := block.(*rtcp.ReceiverReferenceTimeReportBlock); ok {
			// At once: the delay since the report is nothing.
			answer := rtcp.DLRRReport{SSRC: p.SenderSSRC, LastRR: uint32(b.NTPTimestamp >> 16)}
			err := v.rtcp.WriteRTCP([]rtcp.Packet{&rtcp.ExtendedReport{
				SenderSSRC: v.video.ssrc, Reports: []rtcp.ReportBlock{&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{answer}}},
			}})
			if err != nil {
				v.log.Debug("answer a reference time", "err", err)
			}
			return
		}
	}
}

// receptionOf reads a report block; the round trip is what RFC 3550 section
// 6.4.1 computes from the last sender report.
func receptionOf(r rtcp.ReceptionReport, now time.Time) reception {
	out := reception{loss: float64(r.FractionLost) / 256, jitterMS: float64(r.Jitter) / 90, highest: uint16(r.LastSequenceNumber)}
	if r.LastSenderReport == 0 {
		return out
	}
	middle := uint32(ntpTime(now) >> 16)
	if units := int32(middle - r.LastSenderReport - r.Delay); units > 0 {
		out.rtt, out.answers = int64(units)*int64(time.Second)>>16, r.LastSenderReport
	}
	return out
}
