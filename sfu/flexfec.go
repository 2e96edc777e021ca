package sfu

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/flexfec"
)

const (
	// repairLoss is the loss that a viewer reports, as a fraction, from which on
	// its video is sent with repair packets for redundantTime.
	repairLoss = 0.02
	// leastGroup packets at least are protected by one repair packet: at most this
	// share is added to the video, and less where fewer packets get lost.
	leastGroup = 5
	// groupLoss is how many of a group's packets get lost on average.
	groupLoss = 0.5
	// repairQueue is how many repair packets of a publisher may wait for the next
	// packet of its video.
	repairQueue = 16
)

// isFlexFEC: the version that browsers speak.
func isFlexFEC(mime string) bool { return strings.EqualFold(mime, webrtc.MimeTypeFlexFEC03) }

// offeredFlexFEC lists the FlexFEC formats of a media section.
func offeredFlexFEC(formats []format, media string) []webrtc.RTPCodecParameters {
	var codecs []webrtc.RTPCodecParameters
	for _, f := range formats {
		if isFlexFEC(media + "/" + f.name) {
			codecs = append(codecs, f.parameters(media, nil))
		}
	}
	return codecs
}

// repairSSRC returns the SSRC of the repair packets for a stream of a publisher;
// 0 when it has none (RFC 5956 section 4.3).
func (o *offered) repairSSRC(media uint32) uint32 {
	section := o.section("video")
	if section == nil {
		return 0
	}
	for _, a := range section.Attributes {
		fields := strings.Fields(a.Value)
		if a.Key != "ssrc-group" || len(fields) != 3 || fields[0] != "FEC-FR" || fields[1] != strconv.FormatUint(uint64(media), 10) {
			continue
		}
		if ssrc, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			return uint32(ssrc)
		}
	}
	return 0
}

// mender makes lost packets of a publisher again. It belongs to the reader of
// the stream that the packets are of, but for its queue.
type mender struct {
	decoder *flexfec.Decoder
	queue   chan []byte // payloads of repair packets
	twccID  uint8       // an extension that counts as zero
	resent  bool        // the packet being read was sent again, with other extensions
}

// remember takes a packet that came, in its own memory.
func (m *mender) remember(h *rtp.Header, raw []byte) {
	if m.resent {
		return
	}
	clear(h.GetExtension(m.twccID))
	m.decoder.Packet(raw)
}

// mend puts packets into the ring that got lost and can be made again, and
// reports whether there were any.
func (r *reader) mend() (grown bool) {
	for {
		select {
		case payload := <-r.mender.queue:
			r.mender.decoder.Repair(payload)
			continue
		default:
		}
		packet, ok := r.mender.decoder.Recover()
		if !ok {
			return grown
		}
		if len(packet) > maxPacket {
			continue
		}
		if r.take(copy(r.space(), packet)) {
			r.sfu.counters.restored.Add(1)
			grown = true
		}
	}
}

// mendable starts to read the repair packets for a stream, if it has any. mu is
// held.
func (p *Publisher) mendable(r *reader, receiver *webrtc.RTPReceiver) {
	ssrc := p.offer.repairSSRC(r.layer.ssrc)
	if ssrc == 0 || !p.sfu.cfg.FlexFEC {
		return
	}
	repairs, err := p.api.NewRTPReceiver(webrtc.RTPCodecTypeVideo, receiver.Transport())
	if err == nil {
		err = repairs.Receive(webrtc.RTPReceiveParameters{Encodings: []webrtc.RTPDecodingParameters{
			{RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(ssrc)}},
		}})
	}
	if err != nil {
		p.log.Warn("repair packets are not read", "err", err)
		return
	}
	extensions := receiver.GetParameters().HeaderExtensions
	r.mender = &mender{
		decoder: flexfec.NewDecoder(r.layer.ssrc), queue: make(chan []byte, repairQueue),
		twccID: extensionID(extensions, sdp.TransportCCURI),
	}
	p.mending = append(p.mending, repairs)
	info := &interceptor.StreamInfo{SSRC: ssrc}
	for _, e := range extensions {
		info.RTPHeaderExtensions = append(info.RTPHeaderExtensions, interceptor.RTPHeaderExtension{URI: e.URI, ID: e.ID})
	}
	track := repairs.Track()
	source := p.arrivals.made.BindRemoteStream(info, interceptor.RTPReaderFunc(func(b []byte, _ interceptor.Attributes) (int, interceptor.Attributes, error) {
		return track.Read(b)
	}))
	queue := r.mender.queue
	p.readers.Go(func() { readRepairs(source, queue) })
}

// readRepairs hands the payloads of repair packets over until the stream ends.
func readRepairs(source interceptor.RTPReader, queue chan<- []byte) {
	buf := make([]byte, maxPacket)
	var h rtp.Header
	for {
		n, _, err := source.Read(buf, interceptor.Attributes{})
		if err != nil {
			return
		}
		payload, ok := parseRTP(&h, buf[:n])
		if !ok {
			continue
		}
		select {
		case queue <- append([]byte(nil), payload...):
		default: // no video comes
		}
	}
}

// shield makes the repair packets for one viewer. Only its shard uses it.
type shield struct {
	encoder flexfec.Encoder
	header  rtp.Header
	group   int   // packets that one repair packet protects
	until   int64 // SFU clock
}

// guard notes the loss that a viewer reports: its video comes with repair packets
// for a while.
func (t *track) guard(loss float64, now int64) {
	if t.fecSSRC == 0 || loss < repairLoss {
		return
	}
	if t.shield == nil {
		t.shield = &shield{}
	}
	t.shield.until = now + redundantTime
	t.shield.group = min(max(int(groupLoss/loss), leastGroup), flexfec.MaxGroup)
}

// protect adds a packet that has been sent to its group, and sends the repair
// packet of a group that is full. The stamp of its header counts as zero.
func (w *directWire) protect(sh *shard, t *track, h *rtp.Header, header, payload []byte, first stamp) {
	s := t.shield
	if sh.now >= s.until {
		t.shield = nil
		return
	}
	first.clear(header)
	s.encoder.Add(header, payload)
	if s.encoder.Len() < s.group {
		return
	}
	fits := s.encoder.Size() <= maxRepair
	n := s.encoder.Payload(sh.repair[:], t.ssrc)
	if !fits {
		return
	}
	s.header = rtp.Header{Version: 2, SSRC: t.fecSSRC, PayloadType: t.fecPT, SequenceNumber: t.fecSeq, Timestamp: h.Timestamp}
	t.fecSeq++
	w.write(sh, t, &s.header, nil, sh.repair[:n])
	sh.packets[Video]++
	sh.bytes[Video] += uint64(rtpHeaderBytes + n)
	sh.repaired++
}

// maxRepair is the largest repair payload that is sent, in bytes: what is larger
// would be cut to pieces on its way.
const maxRepair = 1380

// clear makes the stamp of a header zero, which extend puts first.
func (s stamp) clear(header []byte) {
	if s.bytes == 0 {
		return
	}
	at := rtpHeaderBytes + 4 + 1
	if binary.BigEndian.Uint16(header[rtpHeaderBytes:]) != 0xbede {
		at++ // two-byte form
	}
	clear(header[at : at+int(s.bytes)])
}

// keeping remembers the interceptor that a factory has made.
type keeping struct {
	interceptor.Factory
	made interceptor.Interceptor
}

// NewInterceptor implements interceptor.Factory.
func (k *keeping) NewInterceptor(id string) (interceptor.Interceptor, error) {
	var err error
	k.made, err = k.Factory.NewInterceptor(id)
	return k.made, err
}
