"""Convert a checkpoint of EchoFM for this kit: python tools/convert_echofm.py echofm_vitl.pth weights/echofm

The checkpoint is at https://huggingface.co/sekeun/EchoFM; read its licence there.
"""
import sys

from echovdiff.models.echofm import convert_echofm

if __name__ == "__main__":
    if len(sys.argv) != 3: sys.exit(__doc__)
    try: origin = convert_echofm(*sys.argv[1:])
    except ValueError as error: sys.exit(str(error))
    print(f"{sys.argv[2]}: {origin['tensors']} tensors, {origin['parameters']/1e6:.1f} M parameters; {origin['left_aside']} tensors of the decoder left aside")
