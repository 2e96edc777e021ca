package load_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/load"
)

// publishRecorded publishes a real picture and waits until it can be had by HLS.
func publishRecorded(t *testing.T, url string) {
	t.Helper()
	clip, err := clips.Synthetic(clips.H264, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	hc := &http.Client{Transport: transport}
	p, err := client.Publish(t.Context(), client.PublisherConfig{URL: url + "/whip/demo", Clip: clip, HTTP: hc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); ; <-tick.C {
		response, err := hc.Get(url + "/hls/demo/index.m3u8")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(limit) {
			t.Fatal("the stream is not there as HLS")
		}
	}
}

func TestRunHLS(t *testing.T) {
	t.Parallel()
	url := serve(t)
	publishRecorded(t, url)
	cfg := load.HLSConfig{
		URL: url + "/hls/demo/index.m3u8", Viewers: 4, Duration: 5 * time.Second, Check: true, PID: os.Getpid(),
	}
	report, err := load.RunHLS(t.Context(), cfg, func(load.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	if report.Playing != 4 || report.Failed > 0 || report.Parts < 20 || report.PartDelay.Count != report.Parts || report.Server.CPUSeconds <= 0 {
		t.Errorf("got %+v", report)
	}
	for _, v := range report.Violations {
		// How late parts come is the machine's matter; what they say is ours.
		if !strings.Contains(v, "after the one before it") {
			t.Error(v)
		}
	}
}

func TestFloodHLS(t *testing.T) {
	t.Parallel()
	url := serve(t)
	publishRecorded(t, url)
	report, err := load.RunHLS(t.Context(), load.HLSConfig{
		URL: url + "/hls/demo/index.m3u8", Viewers: 2, Duration: time.Second, Flood: true, PID: os.Getpid(),
	}, nil)
	if err != nil || report.Playlists < 100 || report.Parts != 0 || report.Server.PerPlaylist <= 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestRunHLSWithoutStream(t *testing.T) {
	t.Parallel()
	url := serve(t)
	report, err := load.RunHLS(t.Context(), load.HLSConfig{URL: url + "/hls/demo/index.m3u8", Viewers: 2, Duration: time.Second}, nil)
	if err != nil || report.Failed != 2 || report.Err() == nil || report.Errors["a playlist has status 409"] != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	for _, bad := range []load.HLSConfig{{URL: "demo", Viewers: 1, Duration: 1}, {URL: url, Duration: 1}, {URL: url, Viewers: 1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
