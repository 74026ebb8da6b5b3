# SPDX-License-Identifier: Apache-2.0
"""Tones: a WAV file with a sine wave in it, and how much of a frequency a recording holds."""
import math
import struct
import wave

RATE = 8000


def write_tone(path, frequency, seconds=30, rate=RATE, amplitude=0.5):
    """A mono 16-bit WAV file with one sine wave. Whole periods a second, so that a loop has no click."""
    second = b"".join(
        struct.pack("<h", int(amplitude * 32767 * math.sin(2 * math.pi * frequency * i / rate)))
        for i in range(rate))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        for _ in range(seconds):
            out.writeframes(second)


def read_wav(path):
    """(rate, samples as floats) of the first channel. Takes also a file that is still being written and
    whose header says 0 bytes of data."""
    with open(path, "rb") as file:
        raw = file.read()
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise ValueError("%s is no WAV file" % path)
    at, fmt, data = 12, None, b""
    while at + 8 <= len(raw):
        name, size = raw[at:at + 4], struct.unpack("<I", raw[at + 4:at + 8])[0]
        if name == b"fmt ":
            fmt = struct.unpack("<HHIIHH", raw[at + 8:at + 24])
        elif name == b"data":
            data = raw[at + 8:at + 8 + size] if size else raw[at + 8:]
            break
        at += 8 + size + (size & 1)
    if not fmt:
        raise ValueError("%s has no format" % path)
    channels, rate, bits = fmt[1], fmt[2], fmt[5]
    step = channels * bits // 8
    data = data[:len(data) // step * step]
    if fmt[0] == 3 and bits == 32:
        values = [v for v in struct.unpack("<%df" % (len(data) // 4), data)]
    elif bits == 16:
        values = [v / 32768.0 for v in struct.unpack("<%dh" % (len(data) // 2), data)]
    else:
        raise ValueError("%s: %d bits a sample" % (path, bits))
    return rate, values[::channels]


def share(samples, rate, frequency):
    """The share (0..1) of the samples' energy at one frequency (Goertzel)."""
    energy = sum(v * v for v in samples)
    if not samples or energy < 1e-6 * len(samples):
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * frequency / rate)
    before, before2 = 0.0, 0.0
    for v in samples:
        before, before2 = v + coefficient * before - before2, before
    power = before * before + before2 * before2 - coefficient * before * before2
    return power / (energy * len(samples) / 2)


def seconds_of_tone(path, frequency, window=0.1, least=0.7):
    """How many seconds of a recording are mostly this frequency, counted in windows of 0.1 s."""
    rate, samples = read_wav(path)
    size = int(rate * window)
    return window * sum(
        1 for at in range(0, len(samples) - size + 1, size)
        if share(samples[at:at + size], rate, frequency) >= least)


def loud(path):
    """Is there anything but silence in a recording?"""
    _, samples = read_wav(path)
    return any(abs(v) > 0.05 for v in samples)
