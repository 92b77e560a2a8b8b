"""DEVA: carries masks through a clip, written from a description of its paper.

Cheng, Oh, Price, Schwing and Lee, "Tracking Anything with Decoupled Video Segmentation", ICCV 2023. The code is this
project's own (Apache-2.0). The published weights, `DEVA-propagation.pth`, load unchanged; they are CC BY-NC-SA 4.0, and
users fetch them under that licence.

    settings      what a recipe says; the only module here that does not import torch
    build         build(widths), load(path)
    propagator    Propagator(network, settings).track(frames, first_masks)
    semi_online   SemiOnlineTracker(network, propagation, settings, detect).track(frames)
    core          one clip's state, over network, memory (with matching) and frames
    objects       what detections have in common, with consensus among them
"""
