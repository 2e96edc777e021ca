package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestSessionCommandsRefuse(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no URL":                   {[]string{"publish"}, exitUsage, "--url"},
		"unknown codec":            {[]string{"publish", "--url", server.URL, "--codec", "theora"}, exitUsage, "--codec"},
		"simulcast of a file":      {[]string{"publish", "--url", server.URL, "--file", "x.mp4", "--simulcast"}, exitUsage, "--simulcast"},
		"missing file":             {[]string{"publish", "--url", server.URL, "--file", filepath.Join(dir, "none.mp4")}, exitUsage, "none.mp4"},
		"unknown kind of file":     {[]string{"publish", "--url", server.URL, "--file", "film.mkv"}, exitUsage, "ffmpeg -i"},
		"no such endpoint":         {[]string{"publish", "--url", server.URL + "/whip/demo"}, exitFailure, "404"},
		"not a URL":                {[]string{"watch", "--url", "demo"}, exitFailure, "demo"},
		"nothing there to watch":   {[]string{"watch", "--url", server.URL + "/whep/demo"}, exitFailure, "404"},
		"unknown kind of record":   {[]string{"watch", "--url", server.URL, "--record", filepath.Join(dir, "x.avi")}, exitUsage, ".mp4"},
		"record over several":      {[]string{"watch", "--url", server.URL, "--record", filepath.Join(dir, "x.mp4"), "--reconnect"}, exitUsage, "--reconnect"},
		"reconnect to nothing":     {[]string{"watch", "--url", server.URL + "/whep/demo", "--reconnect"}, exitFailure, "404"},
		"keyframes of a third way": {[]string{"publish", "--url", server.URL, "--keyframes", "never"}, exitUsage, "--keyframes"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tc.args, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(stderr.String(), tc.says) {
				t.Errorf("says %q, want something of %q", stderr.String(), tc.says)
			}
		})
	}
}
