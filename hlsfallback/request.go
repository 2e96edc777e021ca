package hlsfallback

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice"
)

// directives are the query of a playlist request (RFC 8216bis section 6.2.5).
type directives struct {
	blocks bool
	at     position
	skip   bool
	token  string
}

// parseQuery reads the directives. Unknown ones are ignored, the first of a
// repeated one counts.
func parseQuery(query string) (d directives, err error) {
	d.at.part = -1
	part := false
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "_HLS_msn":
			if d.blocks {
				continue
			}
			d.blocks = true
			if d.at.msn, err = parseNumber(key, value, 1<<47); err != nil {
				return d, err
			}
		case "_HLS_part":
			if part {
				continue
			}
			part = true
			n, err := parseNumber(key, value, 1<<15)
			if err != nil {
				return d, err
			}
			d.at.part = int(n)
		case "_HLS_skip":
			d.skip = value == "YES" // v2 is not advertised
		case "token":
			if d.token, err = url.QueryUnescape(value); err != nil {
				return d, sluice.Errorf(sluice.CodeInvalid, "the token in the query is malformed")
			}
		}
	}
	if part && !d.blocks {
		return d, sluice.Errorf(sluice.CodeInvalid, "_HLS_part needs _HLS_msn")
	}
	return d, nil
}

func parseNumber(key, value string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n >= most {
		return 0, sluice.Errorf(sluice.CodeInvalid, "%s is not a number", key)
	}
	return n, nil
}

// target is what a path names.
type target struct {
	vod       bool
	stream    string // of /hls/
	recording string
	token     string
	rendition string
	file      string // last element
}

// parsePath reads a path below /hls/ or /vod/. ok is false where nothing can be.
func parsePath(path string) (t target, ok bool) {
	rest, hls := strings.CutPrefix(path, "/hls/")
	if !hls {
		if rest, t.vod = strings.CutPrefix(path, "/vod/"); !t.vod {
			return t, false
		}
	}
	var names [5]string
	n := 0
	for more := true; more; n++ {
		if n == len(names) {
			return t, false
		}
		if names[n], rest, more = strings.Cut(rest, "/"); names[n] == "" {
			return t, false
		}
	}
	list := names[:n]
	next := func() (name string) {
		if len(list) > 1 {
			name, list = list[0], list[1:]
		}
		return name
	}
	if first := next(); t.vod {
		t.recording = first
	} else {
		t.stream = first
	}
	if strings.HasPrefix(list[0], "~") {
		t.token = next()
		t.token = strings.TrimPrefix(t.token, "~")
	}
	if hls {
		t.recording = next()
	}
	t.rendition = next()
	t.file = list[0]
	return t, len(list) == 1 && (t.stream != "" || t.vod && t.recording != "") && !strings.HasPrefix(t.file, "~")
}

// file names below a rendition.
type fileKind uint8

const (
	fileNone fileKind = iota
	filePlaylist
	fileIFrames
	fileInit
	fileSegment
	filePart
)

// parseFile reads a file name: for a segment or part its number, for an init
// section its version. A part keeps its name.
func parseFile(name string) (kind fileKind, number uint64) {
	switch name {
	case "index.m3u8":
		return filePlaylist, 0
	case "iframes.m3u8":
		return fileIFrames, 0
	}
	if base, ok := strings.CutSuffix(name, ".m4s"); ok {
		if seq, index, isPart := strings.Cut(base, "."); isPart {
			if plain(seq) && plain(index) {
				return filePart, 0
			}
			return fileNone, 0
		}
		return numbered(fileSegment, strings.TrimSuffix(base, repaired))
	}
	if base, ok := strings.CutSuffix(name, ".mp4"); ok {
		if version, ok := strings.CutPrefix(base, "init"); ok {
			return numbered(fileInit, version)
		}
	}
	return fileNone, 0
}

func numbered(kind fileKind, text string) (fileKind, uint64) {
	if n, err := strconv.ParseUint(text, 10, 47); err == nil && plain(text) {
		return kind, n
	}
	return fileNone, 0
}

// plain reports whether text is a number as we write it: one name for each thing.
func plain(text string) bool {
	n, err := strconv.ParseUint(text, 10, 47)
	return err == nil && strconv.FormatUint(n, 10) == text
}
