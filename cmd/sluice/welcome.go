package main

import (
	"fmt"
	"strings"

	"github.com/sluice-live/sluice/internal/node"
)

// welcome is what a person reads who has just started a node: where to publish
// and watch, and what to paste into encoders. token is the command line that
// makes tokens, up to its subcommand's flags.
func welcome(c node.Config, url, opsURL, token string) string {
	here := url
	if c.HTTP.PublicURL != "" {
		url = strings.TrimSuffix(c.HTTP.PublicURL, "/")
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("  Sluice is running.")
	line("")
	line("  Publish     %s/publish/demo", url)
	line("  Watch       %s/watch/demo", url)
	if opsURL != "" {
		line("  Metrics     %s/metrics", opsURL)
	}
	line("")
	bearer, authorization := "demo   (the stream's name)", ""
	if c.Auth.Mode == node.AuthToken {
		bearer, authorization = "TOKEN", " -authorization TOKEN"
		line("  Publishing and watching need a token. These commands print one as TOKEN:")
		line("")
		line("    %s --stream demo --publish", token)
		line("    %s --stream demo --watch", token)
		line("")
		line("  An encoder may have a stream key instead, which is good until it is revoked:")
		line("")
		line("    %s --url %s --stream demo", strings.Replace(token, " token create", " key create", 1), here)
		line("")
	} else {
		line("  Everybody who reaches this address may publish and watch (auth.mode is open).")
		line("")
	}
	line("  OBS 30 or newer, Settings > Stream")
	line("    Service        WHIP")
	line("    Server         %s/whip", url)
	line("    Bearer Token   %s", bearer)
	line("")
	line("  FFmpeg 8 or newer")
	line("    ffmpeg -re -i input.mp4 -c:v libx264 -profile:v baseline -bf 0 -g 60 -pix_fmt yuv420p \\")
	line("      -c:a libopus -ar 48000 -ac 2 -f whip%s %s/whip/demo", authorization, url)
	line("")
	line("  Ctrl-C stops it.")
	line("")
	return b.String()
}
