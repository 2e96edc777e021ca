package sfu

import (
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func TestSendTime(t *testing.T) {
	for now, want := range map[time.Duration]uint32{
		0: 0, time.Second: 1 << 18, 63*time.Second + 500*time.Millisecond: 63<<18 + 1<<17, 64 * time.Second: 0, 1000 * time.Hour: 0,
	} {
		if got := sendTime(int64(now)); got != want {
			t.Errorf("after %v: %d, want %d", now, got, want)
		}
	}
}

// TestPacketsCarryTheTimeForAnEstimateOfTheReceiver: a receiver without
// transport-wide feedback has nothing else to tell delay from bursts by.
func TestPacketsCarryTheTimeForAnEstimateOfTheReceiver(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	publish(t, s)
	live(t, s, 1)
	engine := &webrtc.MediaEngine{}
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: []webrtc.RTCPFeedback{{Type: "goog-remb"}, {Type: "nack"}}}
	rtx := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96"}
	for pt, c := range map[webrtc.PayloadType]webrtc.RTPCodecCapability{96: vp8, 97: rtx} {
		if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: pt}, webrtc.RTPCodecTypeVideo); err != nil {
			t.Fatal(err)
		}
	}
	if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.ABSSendTimeURI}, webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	c := watch(t, s, webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	c.more(t, 30)
	c.mu.Lock()
	defer c.mu.Unlock()
	var times []time.Duration
	for _, h := range c.got {
		var e rtp.AbsSendTimeExtension
		if ids := h.GetExtensionIDs(); len(ids) != 1 {
			t.Fatalf("extensions %v", ids)
		} else if err := e.Unmarshal(h.GetExtension(ids[0])); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Duration(e.Timestamp)*time.Second>>18)
	}
	for i := 1; i < len(times); i++ {
		if d := times[i] - times[i-1]; d < 0 && d > -time.Minute || d > time.Second {
			t.Errorf("packet %d was sent %v after the one before", i, d)
		}
	}
}
