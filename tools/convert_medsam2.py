"""Convert a checkpoint of MedSAM2 for this kit: python tools/convert_medsam2.py MedSAM2_US_Heart.pt weights/medsam2

The checkpoints are at https://huggingface.co/wanglab/MedSAM2; read their licence there. Needs pip install 'echovdiff[medsam2]'.
"""
import sys

from echovdiff.cycles.medsam2_weights import convert_medsam2

if __name__ == "__main__":
    if len(sys.argv) != 3: sys.exit(__doc__)
    try: origin = convert_medsam2(*sys.argv[1:])
    except ValueError as error: sys.exit(str(error))
    print(f"{sys.argv[2]}: {origin['name']}, {origin['tensors']} tensors, {origin['parameters']/1e6:.1f} M parameters, {origin['image_size']} px")
