package choice

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScripts runs the files of testdata. A line is a moment: words set facts,
// which stay until set again, and after "=>" stand the layer that must be
// chosen ("-" for no video) and, optionally, "probe", and behind "|" the reason.
//
//	at=2s estimate=1M overuse => h
//	layers=f:1280x720:2.5M,h:640x360:500k,q:320x180:150k
//	layers=f/1/2:1280x720:2.5M,f/0/2:640x360:500k,f/0/0:640x360:150k:jerky pin=f/1/- max=-/-/1
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { run(t, file) })
	}
}

func run(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	facts := Facts{Pausable: true}
	var state State
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		given, want, decides := strings.Cut(line, "=>")
		facts.Overuse = false
		for _, word := range strings.Fields(given) {
			if err := set(&facts, word); err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
		}
		if !decides {
			continue
		}
		d := state.Decide(facts)
		got := "-"
		if d.Index >= 0 {
			got = facts.Layers[d.Index].text()
		}
		if d.Probe > 0 {
			got += " probe"
		}
		want, why, explained := strings.Cut(want, "|")
		if want = strings.Join(strings.Fields(want), " "); got != want {
			t.Errorf("line %d: %s\n\tgot %q (%s)", n, strings.TrimSpace(line), got, d.Reason)
		}
		if reason := d.Reason.String(); explained && reason != strings.TrimSpace(why) {
			t.Errorf("line %d: %s\n\tgot reason %q", n, strings.TrimSpace(line), reason)
		}
	}
}

// text names a layer like the scripts do.
func (l Layer) text() string {
	if !l.Scaled {
		return l.RID
	}
	return fmt.Sprintf("%s/%d/%d", l.RID, l.Spatial, l.Temporal)
}

// id reads the number of a layer, "-" for none.
func id(text string) (out ID, err error) {
	if text != "" && text != "-" {
		out.Set = true
		out.N, err = strconv.Atoi(text)
	}
	return out, err
}

// point reads rid/spatial/temporal.
func point(text string) (rid string, spatial, temporal ID, err error) {
	parts := append(strings.Split(text, "/"), "", "")
	if spatial, err = id(parts[1]); err == nil {
		temporal, err = id(parts[2])
	}
	return strings.Trim(parts[0], "-"), spatial, temporal, err
}

func set(f *Facts, word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "at":
		f.Now, err = time.ParseDuration(value)
	case "estimate":
		f.Estimate, err = bits(value)
	case "reserved":
		f.Reserved, err = bits(value)
	case "overuse":
		f.Overuse = true
	case "deaf":
		f.Deaf = true
	case "unsure":
		f.Pausable = value == "no"
	case "pin":
		f.Limits.RID, f.Limits.Spatial, f.Limits.Temporal, err = point(value)
	case "complete":
		f.Limits.Complete = true
	case "capped":
		f.Limits.Capped = value != "no"
	case "max":
		if strings.Contains(value, "/") {
			_, f.Limits.MaxSpatial, f.Limits.MaxTemporal, err = point(value)
			break
		}
		_, err = fmt.Sscanf(value, "%dx%d", &f.Limits.MaxWidth, &f.Limits.MaxHeight)
	case "layers":
		f.Layers, err = layers(value)
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

func layers(text string) ([]Layer, error) {
	var out []Layer
	for _, part := range strings.Split(text, ",") {
		fields := strings.Split(part, ":")
		rid, spatial, temporal, err := point(fields[0])
		if err != nil {
			return nil, err
		}
		l := Layer{RID: rid, Spatial: spatial.N, Temporal: temporal.N, Scaled: spatial.Set, Active: true, Keyframe: true}
		if _, err := fmt.Sscanf(fields[1], "%dx%d", &l.Width, &l.Height); err != nil {
			return nil, err
		}
		for _, more := range fields[2:] {
			switch more {
			case "off":
				l.Active = false
			case "nokey":
				l.Keyframe = false
			case "jerky":
				l.Jerky = true
			case "partial":
				l.Partial = true
			default:
				n, err := bits(more)
				if err != nil {
					return nil, err
				}
				l.Bitrate = n
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func bits(text string) (int, error) {
	unit := 1.0
	switch {
	case strings.HasSuffix(text, "M"):
		unit = 1e6
	case strings.HasSuffix(text, "k"):
		unit = 1e3
	}
	n, err := strconv.ParseFloat(strings.TrimRight(text, "Mk"), 64)
	return int(n * unit), err
}
