#!/bin/sh
# Makes the embedded clips again. Needs ffmpeg with libx264, libvpx and libopus.
#
# Four seconds of a moving test pattern with little noise, 30 frames a second, a
# keyframe every 60 frames and nowhere else, no B-frames. The three sizes hold
# the same picture, so a layer switch shows the same moment. One thread and
# bit-exact flags: the same ffmpeg makes the same bytes.
set -eu
cd "$(dirname "$0")"

video() { # size
	printf 'testsrc=size=320x180:rate=30:duration=4,scale=%s:flags=neighbor,format=yuv420p' "$1"
}

encode() { # name size kbit/s
	ffmpeg -nostdin -loglevel error -y -f lavfi -i "$(video "$2")" -threads 1 -an \
		-c:v libx264 -profile:v baseline -level 3.1 -preset veryslow -tune animation -bf 0 -refs 1 \
		-g 60 -keyint_min 60 -sc_threshold 0 -b:v "$3k" -maxrate "$3k" -bufsize "$3k" \
		-x264-params "sliced-threads=0:slices=1:repeat-headers=1" \
		-bsf:v "filter_units=remove_types=6" -flags +bitexact -fflags +bitexact -f h264 "$1.h264"
	ffmpeg -nostdin -loglevel error -y -f lavfi -i "$(video "$2")" -threads 1 -an \
		-c:v libvpx -deadline good -cpu-used 0 -auto-alt-ref 0 -lag-in-frames 0 -error-resilient 1 \
		-g 60 -keyint_min 60 -b:v "$3k" -maxrate "$3k" -bufsize "$3k" -qmin 4 -qmax 50 \
		-flags +bitexact -fflags +bitexact -f ivf "$1.ivf"
}

encode q 320x180 100
encode h 640x360 300
encode f 1280x720 700

# A quiet two-tone chord, a little apart on the two channels.
ffmpeg -nostdin -loglevel error -y -f lavfi \
	-i "aevalsrc=0.1*sin(2*PI*440*t)|0.1*sin(2*PI*554.365*t):s=48000:d=4" \
	-c:a libopus -b:a 32k -vbr off -frame_duration 20 -application audio \
	-flags +bitexact -fflags +bitexact -page_duration 20000 -f ogg audio.ogg
