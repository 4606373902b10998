"""What may be shown: secrets get stars, characters that steer a terminal are spelled out."""
