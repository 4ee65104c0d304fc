#!/usr/bin/env bash
# Installs Orthanc and its DICOMweb plug-in from Debian's or Ubuntu's packages, for tests/server.
set -euo pipefail

is_there() { command -v Orthanc && ls /usr/share/orthanc/plugins/libOrthancDicomWeb.so; } >/dev/null 2>&1

is_there && exit
if ! command -v apt-get >/dev/null; then
  echo "error: no apt-get here: install Orthanc and its DICOMweb plug-in by hand" >&2
  exit 1
fi
as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" -eq 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -qq -y --no-install-recommends orthanc orthanc-dicomweb
# The packages start a service; the tests start their own, on free ports of the loopback.
"${as_root[@]}" service orthanc stop >/dev/null 2>&1 || true
is_there
