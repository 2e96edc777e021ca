package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// resendPackets are kept for a server that asks for lost ones.
const resendPackets = 1024

// srtpOverhead is the room that encryption needs, at most.
const srtpOverhead = 32

// PublisherStats is what one or more publishers did.
type PublisherStats struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // of RTP
	PLIs    uint64 `json:"plis"`  // asked for by the server, FIR included; ignored
	NACKs   uint64 `json:"nacks"` // packets asked for again
	Late    uint64 `json:"late"`  // frames sent more than a frame's time late
}

// publisher is one WHIP session that sends synthetic video.
type publisher struct {
	peer

	source *source
	spread time.Duration // between two packets of a frame
	rtpOut *srtp.Context // of the sending goroutine
	in     *srtp.Context // of the reactor, as the next
	out    *srtp.Context
	visits int

	started atomic.Int64 // of the wall clock; 0 before
	packets atomic.Uint64
	bytes   atomic.Uint64
	plis    atomic.Uint64
	nacks   atomic.Uint64
	late    atomic.Uint64

	mu     sync.Mutex
	resend [resendPackets][]byte // sealed packets by sequence number

	stop chan struct{}
	done chan struct{} // closed when sending has ended
	err  error         // why it ended early; read after done
}

// publish makes the publisher a session and starts sending.
func (p *publisher) publish(ctx context.Context, cfg Config, ssrc uint32) error {
	p.media, p.stop, p.done = p, make(chan struct{}), make(chan struct{})
	if err := p.open(); err != nil {
		close(p.done)
		return err
	}
	keys, err := p.connect(ctx, offer{codec: cfg.Codec, publish: true, ssrc: ssrc}, func(*answer) {})
	if err == nil {
		err = p.ready(keys, cfg, ssrc)
	}
	if err != nil {
		close(p.done)
		return err
	}
	go p.run()
	return nil
}

func (p *publisher) ready(keys *srtp.Config, cfg Config, ssrc uint32) error {
	pt, err := p.answer.publishedAs(cfg.Codec)
	if err != nil {
		return err
	}
	p.source = newSource(cfg.Codec, int(cfg.Bitrate), ssrc, pt)
	p.source.equal, p.spread = cfg.Equal, cfg.Spread
	// Contexts are not safe for several goroutines; RTP and RTCP have keys of
	// their own, so that two do no harm.
	if p.rtpOut, err = srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile); err != nil {
		return err
	}
	out, err := srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	in, err := srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	if !p.reactor.do(func() { p.in, p.out = in, out; p.reactor.add(p) }) {
		return errors.New("the reactor has ended")
	}
	return nil
}

// frameInterval is the time between two frames.
const frameInterval = time.Second / frameRate

// run sends frames until stop.
func (p *publisher) run() {
	defer close(p.done)
	clock, err := newAlarm()
	if err != nil {
		p.err = err
		return
	}
	defer func() { p.err = errors.Join(p.err, clock.close()) }()
	started := time.Now()
	p.started.Store(started.UnixNano())
	for frame := int64(0); ; frame++ {
		due := started.Add(time.Duration(frame * int64(time.Second) / frameRate))
		clock.wait(time.Until(due))
		select {
		case <-p.stop:
			return
		default:
		}
		begun := time.Now()
		if begun.Sub(due) > frameInterval {
			p.late.Add(1)
		}
		spread, packet := min(p.spread, frameInterval*3/4/time.Duration(p.source.packets())), time.Duration(0)
		turn := func() int64 {
			clock.wait(time.Until(begun.Add(packet * spread)))
			packet++
			return time.Now().UnixNano()
		}
		if p.err = p.source.next(turn, p.write); p.err != nil {
			p.err = fmt.Errorf("sending: %w", p.err)
			return
		}
	}
}

// write encrypts and sends one packet.
func (p *publisher) write(packet []byte) error {
	seq := binary.BigEndian.Uint16(packet[2:])
	p.mu.Lock()
	slot := &p.resend[seq%resendPackets]
	if *slot == nil {
		*slot = make([]byte, 0, packetBytes+srtpOverhead)
	}
	sealed, err := p.rtpOut.EncryptRTP((*slot)[:0], packet, nil)
	*slot = sealed
	p.mu.Unlock()
	if err != nil {
		return err
	}
	p.packets.Add(1)
	p.bytes.Add(uint64(len(packet)))
	return p.socket.send(sealed, p.remote)
}

// rtp implements media: nothing is expected.
func (p *publisher) rtp([]byte, int, int64) {}

// rtcp implements media.
func (p *publisher) rtcp(b []byte, _ int64) {
	if p.in == nil {
		return
	}
	plain, err := p.in.DecryptRTCP(nil, b, nil)
	if err != nil {
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		return
	}
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			p.plis.Add(1)
		case *rtcp.TransportLayerNack:
			for _, pair := range packet.Nacks {
				pair.Range(p.again)
			}
		}
	}
}

// again sends a packet once more.
func (p *publisher) again(seq uint16) bool {
	p.nacks.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	sealed := p.resend[seq%resendPackets]
	if len(sealed) > rtpHeaderBytes && binary.BigEndian.Uint16(sealed[2:]) == seq {
		_ = p.socket.send(sealed, p.remote) // it is asked for again
	}
	return true
}

// visit implements visited: a sender report each second, and consent.
func (p *publisher) visit(now int64) {
	p.visits++
	started := p.started.Load()
	if p.visits%visitsPerSecond == 0 && started != 0 {
		p.report(now, now-started)
	}
	if p.visits%(consentSeconds*visitsPerSecond) == 0 {
		p.ice.consent(now)
	}
}

func (p *publisher) report(now, since int64) {
	plain, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{
			SSRC: p.source.ssrc, NTPTime: ntpTime(now), RTPTime: uint32(since / 1000 * videoClock / 1e6),
			PacketCount: uint32(p.packets.Load()), OctetCount: uint32(p.bytes.Load() - rtpHeaderBytes*p.packets.Load()),
		},
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: p.source.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "load"}},
		}}},
	})
	if err != nil {
		return
	}
	if sealed, err := p.out.EncryptRTCP(nil, plain, nil); err == nil {
		_ = p.socket.send(sealed, p.remote) // the next one says the same
	}
}

// ntpEpoch is the Unix epoch in NTP's seconds.
const ntpEpoch = 2208988800

func ntpTime(wall int64) uint64 {
	seconds, rest := uint64(wall/1e9)+ntpEpoch, uint64(wall%1e9)
	return seconds<<32 | rest<<32/1e9
}

func (p *publisher) stats() PublisherStats {
	return PublisherStats{
		Packets: p.packets.Load(), Bytes: p.bytes.Load(), PLIs: p.plis.Load(),
		NACKs: p.nacks.Load(), Late: p.late.Load(),
	}
}

// leave ends the session.
func (p *publisher) leave(ctx context.Context) error {
	close(p.stop)
	<-p.done
	p.reactor.do(func() { p.reactor.remove(p) })
	return errors.Join(p.err, p.close(ctx))
}
