package load

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       time.Duration // negative: refused
	}{
		{"plain", "12 (sluice) S 1 12 12 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 9", 4 * time.Second},
		{"name with spaces and brackets", "12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20", 30 * time.Millisecond},
		{"short", "12 (a) S 1 2 3", -1},
		{"no name", "12 a S 1 2 3", -1},
		{"no number", "12 (a) S 1 12 12 0 -1 4194560 100 0 0 0 x 2 0 0 20", -1},
	}
	for _, tt := range tests {
		got, err := parseStat([]byte(tt.text))
		if (err != nil) != (tt.want < 0) || err == nil && got != tt.want {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestParseStatus(t *testing.T) {
	if got, err := parseStatus([]byte("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t  1024 kB\n")); err != nil || got != 1<<20 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, text := range []string{"", "VmRSS:\tmany kB\n"} {
		if _, err := parseStatus([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux tells")
		return
	}
	p := newProcess(os.Getpid())
	if rss, err := p.resident(); err != nil || rss < 1<<20 {
		t.Errorf("resident: %d, %v", rss, err)
	}
	if _, err := p.cpu(); err != nil {
		t.Error(err)
	}
}
