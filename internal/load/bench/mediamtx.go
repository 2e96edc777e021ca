package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The version of MediaMTX that the module proxy serves and that builds.
const (
	mediamtxModule  = "github.com/bluenviron/mediamtx"
	mediamtxVersion = "v1.14.0"
)

// peerProgram returns the path of a MediaMTX, and builds it when there is none.
func peerProgram(ctx context.Context, peer string) (string, error) {
	if peer != "mediamtx" {
		_, err := os.Stat(peer)
		return peer, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sluice-bench", "mediamtx-"+mediamtxVersion)
	program := filepath.Join(dir, "mediamtx")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintf(os.Stderr, "bench: building MediaMTX %s\n", mediamtxVersion)
	return program, buildMediaMTX(ctx, filepath.Join(dir, "source"), program)
}

// buildMediaMTX builds in a copy of the module. Two files that its repository
// generates are not part of the module; this use needs neither.
func buildMediaMTX(ctx context.Context, source, program string) error {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", mediamtxModule+"@"+mediamtxVersion)
	download.Dir = os.TempDir() // outside this module
	out, err := download.Output()
	if err != nil {
		return fmt.Errorf("download: %w: %s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	if err := os.RemoveAll(source); err != nil {
		return err
	}
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		return err
	}
	for name, content := range map[string]string{"internal/core/VERSION": mediamtxVersion + "\n", "internal/servers/hls/hls.min.js": "\n"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-mod=mod", "-o", program, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	return os.RemoveAll(source)
}

// mediamtxConfig leaves only WebRTC on. The queue is longer than usual, so that
// it loses nothing before it is out of time.
const mediamtxConfig = `logLevel: warn
writeQueueSize: 4096
rtsp: no
rtmp: no
hls: no
srt: no
webrtcAddress: %s
webrtcLocalUDPAddress: :%s
webrtcIPsFromInterfaces: no
webrtcAdditionalHosts: [127.0.0.1]
paths:
  all_others:
`

func (s settings) startMediaMTX(ctx context.Context, program, dir string) (*process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + ports[0]
	path := filepath.Join(dir, "mediamtx.yml")
	if err := os.WriteFile(path, fmt.Appendf(nil, mediamtxConfig, addr, ports[1]), 0o600); err != nil {
		return nil, err
	}
	p := &process{whip: "http://" + addr + "/bench/whip", whep: "http://" + addr + "/bench/whep"}
	return p, p.launch(ctx, dir, addr, "taskset", "-c", s.serverCore, program, path)
}
