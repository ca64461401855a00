#!/bin/sh
# For certbot's --deploy-hook: puts the certificate and its key where the user einbox can read them. einbox sees by itself
# that they changed. Run by certbot as root, which sets RENEWED_LINEAGE.
set -eu
install -m 0644 "$RENEWED_LINEAGE/fullchain.pem" /etc/einbox/fullchain.pem
install -g einbox -m 0640 "$RENEWED_LINEAGE/privkey.pem" /etc/einbox/privkey.pem
