package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// stillTime bounds the making of a picture, and probeTime that of a trial.
const (
	stillTime = 10 * time.Second
	probeTime = 10 * time.Second
)

// Still returns the first picture of a fragmented MP4 as JPEG, 320 pixels wide.
func Still(ctx context.Context, program string, mp4 []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stillTime)
	defer cancel()
	args := append(common(), "-threads", "1", "-f", "mp4", "-i", "pipe:0",
		"-frames:v", "1", "-vf", "scale=320:-2", "-q:v", "6", "-threads", "1", "-f", "mjpeg", "pipe:1")
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = bytes.NewReader(mp4)
	var complaints tail
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("make a picture: %w: %s", err, complaints.String())
	}
	return out, nil
}

// Probe returns the first encoder of H.264 that really encodes: what ffmpeg lists
// proves nothing. "" means that there is none, and err says why.
func Probe(ctx context.Context, program string) (encoder string, err error) {
	if _, err := exec.LookPath(program); err != nil {
		return "", err
	}
	for _, encoder := range []string{"h264_nvenc", "libx264"} {
		trial, cancel := context.WithTimeout(ctx, probeTime)
		args := []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-f", "lavfi", "-i", "color=size=320x240:rate=30", "-frames:v", "1", "-c:v", encoder}
		args = append(append(args, encoderArgs(encoder)...), "-f", "null", "-")
		err = exec.CommandContext(trial, program, args...).Run()
		cancel()
		if err == nil {
			return encoder, nil
		}
	}
	return "", fmt.Errorf("no encoder of H.264 works: %w", err)
}
