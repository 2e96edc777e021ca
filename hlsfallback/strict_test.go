package hlsfallback

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/hlscheck"
)

// A strict client watches a show of real media in real time, over HTTP/2.
func TestS88StrictClient(t *testing.T) {
	const seconds = 12
	f := newFeed(t, Config{Target: time.Second * 2, Window: 30 * time.Second})
	clips := map[string]clip{"v0": encodeVideo(t, seconds, "320x180"), "opus": encodeAudio(t, seconds)}
	for id, c := range clips {
		f.init(id, 0, c.init)
	}
	server := httptest.NewUnstartedServer(f.h)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()

	// The past, so that there are deltas.
	for range 20 {
		f.segment(1)
	}
	for _, ft := range f.tracks {
		ft.next.Discontinuity = true
	}
	stop := make(chan struct{})
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		tick := time.NewTicker(partTime)
		defer tick.Stop()
		for n := range seconds * 5 {
			for _, id := range []string{"v0", "opus"} {
				f.partOf(id, partTime, clips[id].fragments[n])
				if n%10 == 9 {
					f.finish(id)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	result, err := hlscheck.Run(t.Context(), hlscheck.Config{
		URL: server.URL + "/hls/demo/index.m3u8", Duration: 8 * time.Second, Client: &http.Client{Transport: transport},
	})
	close(stop)
	<-fed
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(result.Delays)
	t.Log(result, "part delay p50", result.Delays[len(result.Delays)/2], "max", result.Delays[len(result.Delays)-1])
	if len(result.Violations) > 0 || result.Deltas < 20 || result.Hinted < 40 || result.Segments < 4 {
		t.Error(result)
	}
}
