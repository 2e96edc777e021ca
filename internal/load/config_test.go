package load

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBitrateText(t *testing.T) {
	tests := []struct {
		text string
		want Bitrate // -1: refused
	}{
		{"2500k", 2_500_000}, {"2.5M", 2_500_000}, {"2500000", 2_500_000}, {"0", 0}, {"64K", 64_000},
		{"", -1}, {"k", -1}, {"-1", -1}, {"fast", -1}, {"NaN", -1}, {"1e300M", -1}, {"2M5", -1},
	}
	for _, tt := range tests {
		var got Bitrate
		err := got.UnmarshalText([]byte(tt.text))
		if (err != nil) != (tt.want < 0) || err == nil && got != tt.want {
			t.Errorf("%q: got %d, %v, want %d", tt.text, got, err, tt.want)
		}
	}
}

func TestRateText(t *testing.T) {
	tests := []struct {
		text string
		want Rate // -1: refused
	}{
		{"100/s", 100}, {"0", 0}, {"0.5", 0.5}, {"", -1}, {"/s", -1}, {"-1/s", -1}, {"100/m", -1}, {"Inf", -1},
	}
	for _, tt := range tests {
		var got Rate
		err := got.UnmarshalText([]byte(tt.text))
		if (err != nil) != (tt.want < 0) || err == nil && got != tt.want {
			t.Errorf("%q: got %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func valid() Config {
	return Config{
		Target: Target{URL: "http://127.0.0.1:8080", Stream: "demo"}, Publishers: 1, Viewers: 5, Probes: 1,
		Duration: time.Second, Codec: H264, Bitrate: 2_500_000,
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		why    string // part of the error; "": valid
	}{
		{"as is", func(*Config) {}, ""},
		{"only viewers", func(c *Config) { c.Publishers, c.Bitrate = 0, 0 }, ""},
		{"search without duration", func(c *Config) { c.Duration = 0; c.Search = Search{Step: 1, Hold: 1} }, ""},
		{"nobody", func(c *Config) { c.Publishers, c.Viewers = 0, 0 }, "nothing to do"},
		{"negative", func(c *Config) { c.Viewers = -1 }, "negative"},
		{"no time", func(c *Config) { c.Duration = 0 }, "duration"},
		{"codec", func(c *Config) { c.Codec = "av1" }, "av1"},
		{"no room", func(c *Config) { c.Bitrate = 1 }, "bitrate"},
		{"spread back", func(c *Config) { c.Spread = -1 }, "spread"},
		{"spread beyond a frame", func(c *Config) { c.Spread = 40 * time.Millisecond }, "spread"},
		{"spread", func(c *Config) { c.Spread = time.Millisecond }, ""},
		{"no hold", func(c *Config) { c.Search.Step = 1 }, "search"},
		{"scheme", func(c *Config) { c.Target.URL = "ftp://host" }, "ftp://host"},
		{"WHEP URL", func(c *Config) { c.Target.WHEPURL = "nowhere" }, "nowhere"},
		{"one URL for two", func(c *Config) { c.Publishers = 2; c.Target.WHIPURL = "http://host/a" }, "{n}"},
		{"two URLs", func(c *Config) { c.Publishers = 2; c.Target.WHIPURL = "http://host/{n}" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			err := c.Validate()
			if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want it to say %q", err, tt.why)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	sluice := Target{URL: "http://host:1/", Stream: "a b"}
	other := Target{WHIPURL: "http://host/in/{n}?x=1", WHEPURL: "http://host/out/{n}"}
	tests := []struct{ got, want string }{
		{sluice.whip(0, 1), "http://host:1/whip/a%20b"},
		{sluice.whep(1, 2), "http://host:1/whep/a%20b-2"},
		{other.whip(1, 2), "http://host/in/2?x=1"},
		{other.whep(0, 1), "http://host/out/1"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func TestProbesAreSpread(t *testing.T) {
	tests := []struct {
		name                  string
		viewers, probes, step int
		want                  []int
	}{
		{"none", 10, 0, 0, nil},
		{"all", 3, 5, 0, []int{0, 1, 2}},
		{"one in the middle", 9, 1, 0, []int{4}},
		{"spread", 100, 4, 0, []int{12, 37, 62, 87}},
		{"odd", 7, 3, 0, []int{1, 3, 5}},
		{"each step", 8, 1, 4, []int{2, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Viewers: tt.viewers, Probes: tt.probes, Search: Search{Step: tt.step}}
			var got []int
			for i := range tt.viewers {
				if c.probes(i) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
